"""Ways to a batch host: z/OSMF, a submit command or a spool folder over a host, hand-over by people."""
