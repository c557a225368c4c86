-- KEYS[3]: the report. KEYS[4]: the flight. ARGV[3]: the key.
sequence = sequence + 1
redis.call('HSET', fleet, 'sequence', sequence)
redis.call('DEL', KEYS[3], KEYS[4])
-- Stays for an hour, far longer than any flight: whatever took off before finds it when it lands.
redis.call('HSET', KEYS[3], 'fence', sequence, 'kind', 'purged', 'until', now + 3600000)
redis.call('PEXPIRE', KEYS[3], 3660000)
tell('purge', ARGV[3], 'fence', sequence)
return {'purged', sequence}
