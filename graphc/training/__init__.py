"""Training: a loss and an optimizer become one compiled step; a loop runs it over minibatches.

schedules       learning rates that change with the step
optimizers      update rules, written on values, compiled together with the loss
initialisers    starting values of parameters
initialise      init_params: the parameters of a graph, from a seed
step            train_step: (params, state, batch) -> (params, state, value)
loop            fit: minibatches, history, early stopping, checkpoints
storage         parameters in files
"""
