"""Training on several devices: learning rate, efficiency and speed."""
