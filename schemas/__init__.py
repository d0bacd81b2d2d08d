"""What rows look like and what their codes mean; imports no other room."""
