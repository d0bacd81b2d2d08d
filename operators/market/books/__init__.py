"""Order books: by level, order by order, over several venues; and how far each can be trusted."""
