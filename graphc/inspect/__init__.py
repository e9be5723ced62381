"""Looking inside a graph: printed, evaluated node by node, its gradients checked."""
