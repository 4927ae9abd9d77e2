"""The `epipar` command: start the services, reconstruct, export, look after the installation."""
