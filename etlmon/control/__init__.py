"""Commands: may they, how often, and are they confirmed."""
