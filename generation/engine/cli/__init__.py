"""The engine on the command line, a file a command: `main.py` lists them."""
