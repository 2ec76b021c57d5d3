"""A fleet on this machine: one network namespace per task, real DNS, real services."""
