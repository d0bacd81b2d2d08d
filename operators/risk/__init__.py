"""What an approved envelope may do: sizes, worst cases, safety caps."""
