"""A stand-in for the application of this house. See main.py."""
