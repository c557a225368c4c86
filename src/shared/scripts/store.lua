-- KEYS[4]: the flight of the key. ARGV[3]: the key. ARGV[4]: the flight's nonce. ARGV[5]: its fence. ARGV[6]: for how long
-- it is kept. ARGV[7] to ARGV[11]: kind, age, time unchanged, body, MAC.
local fence = tonumber(ARGV[5])
if redis.call('HGET', KEYS[4], 'by') == ARGV[4] then redis.call('DEL', KEYS[4]) end
if purged >= fence then return {'superseded'} end
if report and report.fence == fence and not report.purged then return {'stored', fence} end
if report and report.fence >= fence then return {'superseded'} end
redis.call('HSET', KEYS[3], 'fence', fence, 'kind', ARGV[7], 'at', now - tonumber(ARGV[8]), 'changed', now - tonumber(ARGV[9]),
  'body', ARGV[10], 'mac', ARGV[11], 'answers', 0, 'until', now + tonumber(ARGV[6]))
-- Collects garbage only: the scripts compare the times themselves, since this clock can be put forward and back.
redis.call('PEXPIRE', KEYS[3], tonumber(ARGV[6]) + 60000)
redis.call('HSET', fleet, 'sequence', sequence + 1)
tell('report', ARGV[3], 'fence', fence)
return {'stored', fence}
