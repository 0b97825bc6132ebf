{ users.users.root.home = "/ro:ot"; }
