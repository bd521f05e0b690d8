"""`python -I -S FOLDER` runs m2v out of the folder that it is installed in, and imports nothing from elsewhere."""

from m2v_core.cli.main import main

raise SystemExit(main())
