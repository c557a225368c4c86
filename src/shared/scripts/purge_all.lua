sequence = sequence + 1
redis.call('HSET', fleet, 'sequence', sequence, 'purged', sequence)
tell('purge', '', 'fence', sequence)
return {'purged', sequence}
