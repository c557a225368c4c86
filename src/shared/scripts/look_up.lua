-- KEYS[4]: the flight of the key. ARGV[3]: the flight's nonce. ARGV[4]: the fence of the report that the replica has.
-- ARGV[5]: the lease. ARGV[6]: its answers with that report.
local nonce, have, lease, answers = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local flight = redis.call('HMGET', KEYS[4], 'by', 'fence', 'until', 'lease', 'why')
local fence, ends_in = tonumber(flight[2]) or 0, (tonumber(flight[3]) or 0) - now
-- A lease with more time left than it was given for was granted before the clock was put back.
local lasts = flight[1] and fence > purged and ends_in > 0 and ends_in <= (tonumber(flight[4]) or 0) + 1000

local function lease_flight()
  redis.call('HSET', KEYS[4], 'by', nonce, 'fence', fence, 'until', now + lease, 'lease', lease, 'why', '')
  redis.call('PEXPIRE', KEYS[4], 2 * lease + 60000)
  return {'leased', fence, report and report.answers or 0}
end

if lasts and flight[1] == nonce then return lease_flight() end
if report and answers > 0 then report.answers = redis.call('HINCRBY', KEYS[3], 'answers', answers) end
local newer = newer_than(have)
if newer then return newer end
if lasts and flight[1] == 'back_off' then return {'back_off', ends_in, flight[5]} end
if lasts then return {'in_flight', ends_in} end
sequence = sequence + 1
fence = sequence
redis.call('HSET', fleet, 'sequence', sequence)
return lease_flight()
