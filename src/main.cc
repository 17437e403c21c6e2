#include "src/cli.h"

int main(int argc, char** argv) {
  return crossover::src::run_command(argc, argv);
}
