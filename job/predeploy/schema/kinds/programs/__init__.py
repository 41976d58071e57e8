"""What is run: routines, views, and the triggers, rules and policies of tables."""
