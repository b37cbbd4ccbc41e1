"""`python -m model_build`: the command line."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its C++ log talks of what it can't change

if __name__ == "__main__":  # a process of `score`'s pool imports this file, and needs no commands
    from model_build.cli.main import main

    main()
