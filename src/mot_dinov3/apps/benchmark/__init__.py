"""What a run costs: stage times, the budget kept, memory, the association step, side by side with peers."""
