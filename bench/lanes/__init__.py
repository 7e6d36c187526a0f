"""Messages between federated clusters of real daemons: how long they take, how many pass, what they cost."""
