"""How the services are brought to a machine: container images, Kubernetes, and the local stack."""
