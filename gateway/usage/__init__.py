"""What was used: events, sums that stay fast, reports and exports."""
