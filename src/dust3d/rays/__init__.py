"""From density to extinction: the neural ODE, nodes on the ray, sparse rays on a grid."""
