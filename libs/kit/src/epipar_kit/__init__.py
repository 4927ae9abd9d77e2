"""What every Epipar service is built on: errors, store, work, server, settings, logs, metrics."""
