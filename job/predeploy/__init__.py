"""predeploy: makes a PostgreSQL database ready before an app is deployed, and gates the deploy."""

__version__ = "0.1.0"
