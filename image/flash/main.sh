# The command line.

DEVICE='' YES='' DRY_RUN='' FILE_OK='' ACTION=run EXTRACT_TO='' PROGRESS=progress

main() {
  local given
  while [ $# -gt 0 ]; do
    # --option=value is --option value.
    case $1 in
      --?*=*)
        given=$1
        shift
        set -- "${given%%=*}" "${given#*=}" "$@"
        ;;
    esac
    case $1 in
      -d | --device | --extract | --stand-in)
        need_argument "$@"
        case $1 in
          -d | --device) DEVICE=$2 ;;
          --extract) ACTION=extract EXTRACT_TO=$2 ;;
          --stand-in) stand_in "$2" ;;
        esac
        shift 2
        ;;
      -l | --list) ACTION=list; shift ;;
      -n | --dry-run) DRY_RUN=yes; shift ;;
      -y | --yes) YES=yes; shift ;;
      --file-ok) FILE_OK=yes; shift ;;
      --layout) ACTION=layout; shift ;;
      -h | --help) ACTION=help; shift ;;
      *)
        CONSUMED=0
        method_option "$@" || fail "$EXIT_USAGE" "unknown option or argument \`$1'" "--help shows what there is."
        shift "$CONSUMED"
        ;;
    esac
  done
  [ -t 2 ] || PROGRESS=none
  trap cleanup EXIT
  trap 'fail 130 "interrupted${UNFINISHED:+; $UNFINISHED}"' INT
  trap 'fail 143 "ended${UNFINISHED:+; $UNFINISHED}"' TERM
  method_check
  case $ACTION in
    help) usage ;;
    layout) show_layout ;;
    list) run_list ;;
    extract) run_extract "$EXTRACT_TO" ;;
    run) method_run ;;
  esac
  cleanup
}

main "$@"
exit
