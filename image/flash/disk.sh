# A board of which nothing is known but its disk: the image is written to one that is connected to this machine. Each such file defines
#   method_usage        prints what --help says beside the common part
#   method_option ARG…  takes an option of its own: CONSUMED becomes the number of words; fails if it is none
#   method_check        fails if the options do not go together
#   method_run          does it
#   method_plan         what the plan for a disk says beside the layout
#   method_after_image FILE  what follows on a disk or in a file that holds the image

method_usage() { :; }
method_option() { return 1; }
method_check() { :; }
method_run() { flash_disk; }
method_plan() { :; }
method_after_image() { :; }
