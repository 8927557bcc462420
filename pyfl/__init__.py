"""pyfl: federated learning of Keras models between peers, without a server."""
