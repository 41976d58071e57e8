"""Objects that run code: routines, views, and the triggers, rules and policies of tables."""
