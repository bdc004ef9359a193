"""All SQL of the quota service. What decides lies in the functions of the database (`migrations`)."""
