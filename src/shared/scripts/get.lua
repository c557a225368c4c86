-- ARGV[1]: the fence of the report that the replica has.
return newer_than(tonumber(ARGV[1])) or {'none'}
