"""What every part of the lab may use, and what knows no part of it."""
