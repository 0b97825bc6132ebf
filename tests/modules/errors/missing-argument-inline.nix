{
  imports = [
    ({ lib, boards, ... }: { })
  ];
}
