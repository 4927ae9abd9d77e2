"""What must hold in the rendered manifests of k8s/, beyond what a schema can say."""
