"""FMamba: fast attention across variates, then a selective state space, for multivariate forecasting."""
