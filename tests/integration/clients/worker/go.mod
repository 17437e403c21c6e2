module crossover.test/worker

go 1.26.0
