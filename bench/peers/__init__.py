"""Other migration tools: how each is installed, laid out and run. One entry is one tool."""
