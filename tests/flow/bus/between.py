"""What happens between nodes, and how to tell."""


def hears_others(server):
    """Is its connection to the other nodes up?"""
    return server.metrics()["penstock_bus_connected"] == 1


def metric(servers, name):
    """The sum over servers, edges and lanes."""
    return sum(value for server in servers for key, value in server.metrics().items()
               if key.split("{")[0] == f"penstock_{name}")


def cut(database):
    """Ends the servers' connections for what they say to each other."""
    database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                     " WHERE application_name = 'penstock bus' AND datname = current_database()")
