"""Other tools that apply migrations: how each is installed, fed and run. One entry is one tool."""
