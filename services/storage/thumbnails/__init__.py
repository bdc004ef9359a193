"""Small pictures beside the objects, made by a process of their own."""
