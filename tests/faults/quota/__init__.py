"""What holds of bytes and credits whatever races, is repeated, comes late or is lost."""
