"""What is left when a process dies: at every named point, with everything that costs money."""
