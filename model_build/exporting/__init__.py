"""Write versions in the form that other model servers read."""
