"""pyfl: federated learning of Keras models between peers, without a server."""

__version__ = "0.1.0"
