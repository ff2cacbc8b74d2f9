"""Fashion-MNIST: the kinds of autoencoder against PCA."""
