"""What every service needs and none owns: no domain noun lives here."""
