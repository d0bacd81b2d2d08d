"""Each live venue's rules, from its public documents: endpoints, subscriptions, lists."""
