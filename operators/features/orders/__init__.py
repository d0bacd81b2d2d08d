"""Features of markets that come order by order: queues, their orders, and what becomes of them."""
