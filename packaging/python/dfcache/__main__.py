import os
import sys

from dfcache import executable

os.execv(executable(), ["dfcache", *sys.argv[1:]])
