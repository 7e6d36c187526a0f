"""The command line: a thin reader of arguments and writer of answers around the client, the local testnet
and the daemon. `main` is the door, `exits` the table of exit codes, `failures` says which error ends in
which, `commands/` holds one file a command, imported only when it is used."""
