"""Small Jinja templates, each for a corner of the language; make_golden.py renders them."""

VARIABLES = {
    "n": 7, "x": 2.5, "neg": -3, "zero": 0, "t": True, "f": False, "nothing": None,
    "s": "Hello, World", "empty": "", "u": "naïve 東京 \U0001f600 ß", "lines": "a\n  b\n\nc\n",
    "l": [3, 1, 2], "words": ["b", "A", "c", "a"], "el": [], "nested": [[1, 2], [3, [4]]],
    "d": {"b": 1, "a": [1, "x", None, True, 2.0], "items": 5, "C": {"k": "v"}},
    "ed": {},
    "people": [{"name": "Ann", "age": 31, "tags": ["x"]}, {"name": "bob", "age": 7},
               {"name": "Cyd", "age": 31, "tags": []}],
    "quote": "it's \"so\"", "html": "<a href='x'>&\"</a>", "ctl": "a\tb\x01\x7f\u200b\\",
    "tree": [{"v": 1, "c": [{"v": 2, "c": []}, {"v": 3, "c": [{"v": 4, "c": []}]}]}, {"v": 5, "c": []}],
}

PRINTED = """n x neg zero t f nothing s empty u l words el nested d ed people quote html ctl
missing lines""".split()

EXPRESSIONS = r"""
1 + 2 * 3
(1 + 2) * 3
2 ** 10
2 ** -1
-2 ** 2
2 ** 3 ** 2
7 // 2
-7 // 2
7 % 3
-7 % 3
7 % -3
7 / 2
7.5 // 2
-7.5 % 2
1 / 3
10 / 5
1e3
1E-5
1.5e10
12345678901234567890.0
1e16
123456789.125
0.1 + 0.2
1_000
0x1F
0o17
0b101
1 / 0
1 // 0
1 % 0
n - -1
-n
+x
- x
not n
not not n
not zero and t
n and s
zero or s
empty or el or 'last'
t + t
t == 1
1 == 1.0
'1' == 1
none == none
missing == none
[1, 2] == [1, 2]
(1, 2) == [1, 2]
{'a': 1} == {'a': 1.0}
[1, 2] < [1, 3]
'a' < 'b'
'a' < 1
1 < 2 < 3
1 < 3 < 2
3 > 2 >= 2 != 1
1 in l
9 in l
9 not in l
'b' in d
'z' not in d
'World' in s
'' in s
1 in s
'x' in missing
n in none
'a' ~ 1 ~ none ~ t ~ 2.0
'a' + 'b'
'a' + 1
[1] + [2]
(1,) + (2, 3)
'ab' * 3
3 * 'ab'
[0] * 3
'ab' * -1
'%s-%d' % ('x', 3)
'%5.2f|%-5s|%05d|%x' % (3.14159, 'ab', 42, 255)
'%s' % l
'%s%%' % n
'%(a)s' % {'a': 1}
'%s %s' % (1,)
'%r' % s
s if n else 'no'
s if zero else 'no'
s if zero
1 if 0 else 2 if 0 else 3
s[0]
s[-1]
s[99]
s[1:4]
s[:-3]
s[::-1]
s[::2]
s[-3:]
s[5:2]
u[6:8]
u[::-1]
l[0]
l[-1]
l[5]
l[1:]
l[::-1]
l[-2:]
l[:1]
l[0:3:2]
l['x']
l.0
nested[1][1][0]
d.b
d['b']
d.items
d['items']
d.C.k
d.zz
d.zz.y
d.a[1]
d.get('b')
d.get('zz')
d.get('zz', 4)
d.keys() | list
d.values() | list
d.items() | list
d.keys()
d | items | list
missing
missing.x
missing[0]
missing()
missing + 1
missing ~ 'a'
missing | length
missing | list
missing | default('x')
missing | upper
missing | tojson
none.x
none[0]
n.x
n()
s.foo()
(1)
(1,)
()
(1, 2, 3)
[1, 'a', none, true, 1.5, [], {}, ()]
{'a': 1, "b": [1], 3: none}
{'a': 1}['a']
{1: 'x'}[1.0]
{[1]: 2}
[1, 2, ]
{'a': 1, }
'a' 'b' "c"
'\n\t\\\'\"\x41\u00e9\U0001F600\101\q'
"it's"
'say "hi"'
true
True
False
None
none
x is defined
missing is defined
missing is undefined
missing is not defined
not missing is defined
nothing is none
nothing is not none
n is number
x is number
t is number
n is integer
x is float
t is boolean
t is true
t is integer
f is false
1 is true
s is string
l is string
d is mapping
l is mapping
l is sequence
s is sequence
d is sequence
n is sequence
d.items() is sequence
l is iterable
n is iterable
missing is iterable
n is odd
n is even
n is divisibleby 7
n is divisibleby(2)
n is eq 7
n is equalto(7)
n is ne 7
n is gt 3
n is lessthan 3
n is in [7]
n is in l
'b' is in 'abc'
none is sameas none
t is sameas true
1 is sameas true
'abc' is lower
'ABC' is upper
'aBC' is upper
'upper' is filter
'zzz' is filter
'odd' is test
n is zzz
n is odd and t
l is sequence and l is not string
range is callable
n is callable
n is odd or zzz.y
s | upper
s | lower
u | upper
s | length
u | length
l | length
d | length
n | length
'hello world-foo (bar' | title
'hello WORLD' | capitalize
'hello world-foo it\'s' .title()
'  x y ' | trim
'xxaxx' | trim('x')
s | replace('l', 'L')
s | replace('l', 'L', 1)
'aaa'.replace('a', 'b', 2)
'abc'.replace('', '-')
n | replace(7, 8)
l | join
l | join(', ')
people | join(', ', attribute='name')
words | join('|')
'abc' | join('-')
s | first
s | last
l | first
el | first
el | last
l | min
l | max
words | min
people | max(attribute='age')
el | max
l | sum
people | sum(attribute='age')
el | sum
l | sum(start=10)
l | sort
l | sort(reverse=true)
words | sort
words | sort(case_sensitive=true)
people | sort(attribute='age') | map(attribute='name') | list
people | sort(attribute='age,name') | map(attribute='name') | list
people | sort(attribute='age', reverse=true) | map(attribute='name') | join
[1, 'a'] | sort
d | dictsort
{'b': 2, 'A': 1, 'c': 0} | dictsort
{'b': 2, 'A': 1, 'c': 0} | dictsort(by='value')
{'b': 2, 'A': 1, 'c': 0} | dictsort(true)
{'b': 2, 'A': 1, 'c': 0} | dictsort(reverse=true)
words | unique | list
['a', 'A', 'b'] | unique | list
['a', 'A', 'b'] | unique(true) | list
l | reverse | list
s | reverse
l | list
s | list
d | list
'abc' | list
n | list
l | map('string') | list
words | map('upper') | join
people | map(attribute='tags') | list
people | map(attribute='tags', default='none') | list
people | map(attribute='tags.0', default='-') | list
l | map('zzz') | list
l | select('odd') | list
l | reject('odd') | list
l | select('gt', 1) | list
l | select | list
[0, 1, '', 'a', none] | select | list
[0, 1, '', 'a', none] | reject | list
people | selectattr('tags') | map(attribute='name') | list
people | selectattr('age', 'equalto', 31) | map(attribute='name') | list
people | selectattr('age', '>', 10) | list | length
people | rejectattr('age', 'lt', 10) | map(attribute='name') | join('+')
people | selectattr('tags', 'defined') | list | length
people | groupby('age') | list
people | groupby('age') | map('first') | list
people | groupby('tags', default='q')
l | batch(2) | list
l | batch(2, 0) | list
l | slice(2) | list
[1, 2, 3, 4, 5] | slice(3, 'x') | list
(l | map('string'))[0]
l | map('string') | length
s | default('x')
empty | default('x')
empty | default('x', true)
none | default('x')
none | d('x', boolean=true)
n | string
x | string + 'a'
'42' | int
'42.7' | int
'x' | int
'x' | int(5)
'0x1f' | int(0, 16)
'ff' | int(base=16)
' 12 ' | int
'1_000' | int
2.9 | int
-2.9 | int
none | int
t | int
l | int
'1.5' | float
'x' | float
'1e3' | float
'inf' | float
n | float
2.5 | round
3.5 | round
2.567 | round(2)
2.5 | round(0, 'ceil')
2.567 | round(1, 'floor')
7 | round
7 | round(1)
1234.5 | round(-2)
-3 | abs
-3.5 | abs
html | e
html | escape
html | safe
html | e | e
lines | indent
lines | indent(2)
lines | indent(2, true)
lines | indent(2, blank=true)
lines | indent('> ')
s | truncate(8)
s | truncate(9, true, '')
s | truncate(5, false, '..', 0)
s | wordcount
u | urlencode
'a b&c/d' | urlencode
'%s-%s' | format(1, 'b')
'%(k)s' | format(k='v')
s | center(20)
'ab' .center(5)
'ab'.ljust(5) + '|'
'ab'.rjust(5, '.')
'-7'.zfill(4)
s | attr('upper')
d | attr('b')
n | zzz
d | tojson
u | tojson
ctl | tojson
ctl
[ctl]
l | tojson
l | tojson(indent=2)
d | tojson(indent=4)
d | tojson(indent=0)
d | tojson(indent='\t')
[] | tojson(indent=2)
{} | tojson(indent=2)
[[], {}] | tojson(indent=2)
u | tojson(ensure_ascii=true)
d | tojson(sort_keys=true)
{1: 2, none: 3, true: 4, 1.5: 5} | tojson
d | tojson(separators=(',', ':'))
d | tojson(indent=2, separators=(',', ': '))
(1, 2) | tojson
range(3) | tojson
1e100 | tojson
0.1 | tojson
none | tojson
html | tojson
s.upper()
s.lower()
s.swapcase()
s.split()
s.split(',')
s.split(', ', 1)
'a,b,c'.split(',', 1)
'a,b,c'.split(',')[-1]
'a,b,c'.rsplit(',', 1)
' a  b c '.split()
' a  b c '.split(none, 1)
' a  b c '.rsplit(none, 1)
''.split()
''.split(',')
',a,'.split(',')
'abc'.split('')
'a'.split(1)
s.partition(', ')
s.partition('zz')
s.rpartition('o')
s.rpartition('zz')
lines.splitlines()
lines.splitlines(true)
lines.strip()
'xxabcxx'.strip('x')
'xyabcyx'.lstrip('xy')
'xyabcyx'.rstrip('xy')
'\u00a0\u3000a\u2003'.strip() 
s.startswith('Hell')
s.startswith(('x', 'H'))
s.startswith('World', 7)
s.endswith('World')
s.endswith('x')
s.startswith(1)
s.find('o')
s.find('o', 5)
s.find('zz')
s.rfind('o')
s.index('W')
s.index('zz')
u.find('京')
s.count('l')
s.count('')
s.count('l', 5)
','.join(words)
','.join(l)
', '.join([])
'x'.join('abc')
'{} {}'.format(1, 'a')
'{0}{1}{0}'.format('a', 'b')
'{name}: {age:>4}|'.format(name='x', age=3)
'{:.2f} {:5d} {:<5}| {:^7}|'.format(3.14159, 42, 'a', 'mid')
'{0[name]} {0.age}'.format({'name': 'N', 'age': 3})
'{!r}'.format('a')
'{{}}'.format()
'{} {}'.format(1)
'abc'.isalpha()
'ab1'.isalpha()
'123'.isdigit()
'ab1'.isalnum()
'  '.isspace()
'ABC'.isupper()
'abc'.islower()
'prefix-x'.removeprefix('prefix-')
'x.txt'.removesuffix('.txt')
'straße'.upper()
'ÉCOLE'.lower()
'hello'.capitalize()
'a-b c'.title()
l.index(1)
l.index(9)
l.count(1)
l.append(4)
l.pop()
d.update({'z': 1})
d.pop('b')
range(5) | list
range(2, 5) | list
range(10, 0, -3) | list
range(0)
range(3)
range(1, 10, 2)
range(5)[2]
range(5) | length
range(5) | sum
range(1000000)
range(0, 5, 0)
range('a')
dict(a=1, b=2)
dict([('a', 1)])
dict({'a': 1}, b=2)
namespace(a=1).a
namespace(_a=1)
raise_exception('no "way"\nout')
s.__class__
s['upper']()
d['get']('b')
l | map('upper') | list
[1, 2, 3] | map('int') | sum
'abc'[1:] + 'x' | upper
('abc' + 'x') | upper
-1 | abs
n | string | length
not s is string
1 + 1 is odd
[1, 2][0] is odd
'a' if missing is defined else 'b' ~ 'c'
[x, n, s][1]
{'a': {'b': {'c': 1}}}.a.b.c
{'a': [1, {'b': 2}]}['a'][1]['b']
(l | length) - 1
l | length - 1
messages
loop
1 == 1 == 1
2 if 1 < 2 and 2 < 3 else 4
'a' in 'abc' and 'b' not in 'xyz'
a.b.c
""".strip("\n").split("\n")

STATEMENTS = [
    "a\n", "a\n\n", "a\r\nb\rc", "", "\n", "{{ s }}\n{{ n }}\n",
    "{% if t %}\nyes\n{% endif %}\nend", "  {% if t %}\n  yes\n  {% endif %}\nend",
    "x  {% if t %}  yes  {% endif %}  y", "x  {%- if t %}  yes  {%- endif %}  y",
    "x  {%- if t -%}  yes  {%- endif -%}  y", "x \n {%+ if t +%}\n yes {% endif %}\n",
    "a {# c #} b", "a {#- c -#} b", "  {# c #}\nb", "a\n  {#- c #}\nb", "{#- x -#}\n a",
    "a {{- s -}} b", "a\n{{- s }}\n  b", "a {{ s -}}\n\n b", "{{ '{{' }} {{ '%}' }}",
    "{% raw %}{{ x }} {% y %}{% endraw %}z", "a {%- raw -%} {{ x }} {%- endraw -%} b",
    "{% raw %}\n a\n {% endraw %}\nb", "{%raw%}{{{%endraw%}", "\t{% if t %}\tx{% endif %}",
    "{% set a = 1 %}{{ a }}", "{% set a, b = 1, 2 %}{{ a + b }}", "{% set a, b = [1] %}",
    "{% set (a, b) = (1, 2) %}{{ a }}{{ b }}", "{% set a %}x{{ n }}{% endset %}{{ a }}",
    "{% set a | upper %}x{% endset %}{{ a }}", "{% set a | replace('x', 'y') | upper %}x{% endset %}{{ a }}",
    "{% set a = 1, 2 %}{{ a }}", "{% set ns = namespace(x=1) %}{% set ns.x = ns.x + 1 %}{{ ns.x }}",
    "{% set ns = namespace() %}{% set ns.a %}q{% endset %}{{ ns.a }}{{ ns.b }}",
    "{% set d.x = 1 %}", "{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}",
    "{% if zero %}a{% elif n %}b{% else %}c{% endif %}", "{% if zero %}a{% elif f %}b{% else %}c{% endif %}",
    "{% if missing %}a{% endif %}b", "{% if t %}{% set a = 5 %}{% endif %}{{ a }}",
    "{% for i in l %}{{ i }}{% endfor %}", "{% for i in l %}{{ i }},{% else %}none{% endfor %}",
    "{% for i in el %}{{ i }}{% else %}none{% endfor %}", "{% for i in missing %}x{% else %}m{% endfor %}",
    "{% for i in none %}x{% endfor %}", "{% for i in n %}x{% endfor %}", "{% for c in 'héy' %}[{{ c }}]{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}", "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k, v in d | items %}{{ k }};{% endfor %}", "{% for a, b in [[1, 2], [3]] %}{% endfor %}",
    "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for i in l if i > 1 %}{{ loop.index }}:{{ i }}/{{ loop.length }} {% endfor %}",
    "{% for i in l if i > 5 %}x{% else %}none{% endfor %}",
    "{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }};{% endfor %}",
    "{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }};{% endfor %}",
    "{% for i in l %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }};{% endfor %}",
    "{% for i in l %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for i in [1, 1, 2] %}{{ loop.changed(i) }};{% endfor %}", "{% for i in l %}{{ loop }}{% endfor %}",
    "{% for i in l %}{% set a = i %}{% endfor %}{{ a }}", "{% set a = 0 %}{% for i in l %}{% set a = a + i %}{{ a }}{% endfor %}{{ a }}",
    "{% for i in l %}{% for j in l %}{{ i }}{{ j }}{% if loop.last %};{% endif %}{% endfor %}{{ loop.index }}{% endfor %}",
    "{% for i in l %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in l %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in l %}{% for j in l %}{% break %}{% endfor %}{{ i }}{% endfor %}",
    "{% for i in tree recursive %}{{ i.v }}{% if i.c %}({{ loop(i.c) }}){% endif %}{% endfor %}",
    "{% for i in tree recursive %}{{ loop.depth }}{{ loop(i.c) }}{% endfor %}",
    "{% for i in l %}{{ loop(l) }}{% endfor %}", "{% for i in range(3) %}{{ i }}{% endfor %}",
    "{% for i in 1, 2 %}{{ i }}{% endfor %}", "{% for i in l[::-1] %}{{ i }}{% endfor %}",
    "{% for x in l | sort %}{{ x }}{% endfor %}{{ x }}", "{% for p in people | selectattr('tags') %}{{ p.name }}{% endfor %}",
    "{% set g = l | select('odd') %}{% for a in g %}{{ a }}{% endfor %}{% for a in g %}{{ a }}{% endfor %}!",
    "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(b=4, a=0) }}{{ m() }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}", "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(z=2) }}",
    "{% macro m(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, z=4) }}",
    "{% macro m(a) %}{{ a }}{{ n }}{% endmacro %}{% for n in l %}{{ m(n) }}{% endfor %}",
    "{% set q = 1 %}{% macro m() %}{{ q }}{% endmacro %}{% set q = 2 %}{{ m() }}",
    "{% macro m() %}{% set w = 3 %}{{ w }}{% endmacro %}{{ m() }}{{ w }}", "{% macro m() %}x{% endmacro %}{{ m }}|{{ m.name }}",
    "{% macro f(k) %}{% if k %}{{ k }}{{ f(k - 1) }}{% endif %}{% endmacro %}{{ f(4) }}",
    "{% macro f(k) %}{{ f(k) }}{% endmacro %}{{ f(4) }}", "{% macro m() %} x {% endmacro %}[{{ m() | trim }}]",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}{% call m() %}in{% endcall %}",
    "{% macro m() %}[{{ caller(1, 2) }}]{% endmacro %}{% call(a, b) m() %}{{ a }}{{ b }}{% endcall %}",
    "{% macro m() %}x{% endmacro %}{% call m() %}in{% endcall %}", "{% macro m() %}{{ caller() }}{% endmacro %}{{ m() }}",
    "{% macro m(a, a=1) %}{% endmacro %}{% macro k(a=1, b) %}{% endmacro %}", "{% call l() %}{% endcall %}",
    "{% filter upper %}a{{ s }}{% endfilter %}", "{% filter replace('a', 'b') | upper %}aa{% endfilter %}",
    "{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a }}", "{% with %}{% set a = 1 %}{{ a }}{% endwith %}{{ a }}",
    "{% generation %}x{{ n }}{% endgeneration %}y", "{% for i in l %}{% generation %}{{ i }}{% endgeneration %}{% endfor %}",
    "{%- generation -%} x {%- endgeneration %}\ny", "{% block a %}x{% endblock %}", "{% block a %}x{% endblock a %}y",
    "{{ 1", "{% if %}", "{% if t %}", "{% endif %}", "{% for i l %}{% endfor %}", "{{ 1 + }}", "{{ a b }}", "{{ (1 }}",
    "{{ [1, }}", "{{ 'abc }}", "{% zzz %}", "{% set true = 1 %}", "{# x", "{% raw %}", "{{ 1 | }}", "{{ x is }}",
    "{% break %}", "{{ f(a=1, 2) }}", "{{ {'a' 1} }}", "{{ 1.2.3 }}", "{{ a..b }}", "{{ $ }}", "{{ }}", "{% %}",
    "{% set x %}", "{% include 'x' %}", "{% do l %}", "{{ '\\ud800x' }}" if False else "{{ '\\xzz' }}",
    "{{ {'a': {'b': 1}} }}", "{{ {'a': 1}['a']}}", "{{'x'}}{{'y'}}", "{{ 'a\nb' }}\n{{ missing.y }}",
    "{% set x = 'a' %}{{ x * 3 ~ x }}", "{% if 'a' in s.lower() and n > 3 %}y{% endif %}",
    "{% set a = [] %}{% for i in l %}{% set a = a + [i] %}{% endfor %}{{ a }}",
    "{% set ns = namespace(a=[]) %}{% for i in l %}{% set ns.a = ns.a + [i * 2] %}{% endfor %}{{ ns.a }}",
    "{% set ns = namespace(s='') %}{% for i in range(50) %}{% set ns.s = ns.s + i | string %}{% endfor %}{{ ns.s }}",
    "{% set a = s %}{% set b = a + 'x' %}{% set c = a + 'y' %}{{ a }}{{ b }}{{ c }}{{ b + 'z' }}{{ c }}",
    "{{ strftime_now('%Y-%m-%d %H:%M') }} {{ strftime_now('%d %b %Y, %B %A') }}", "{{ raise_exception('x') }}",
    "{% if t %}{{ raise_exception() }}{% endif %}", "{{ dict(a=1).a }} {{ namespace }}" if False else "{{ dict(a=1).a }}",
    "{{ '' if not messages else 'x' }}", "{% for m in people %}{{ m.name if not loop.last else m['name'] | upper }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{%- for k in d -%}\n  {{ k }}\n{%- endfor -%}\n", "{% for i in l -%}\n  {{ i }}\n{% endfor %}x",
    "A\n    {% for i in l %}\n    - {{ i }}\n    {% endfor %}\nB\n", "{{ s }}{# a #}{# b #}{{ n }}",
    "{% set loop_messages = people[1:] %}{{ loop_messages | length }}", "{{ people[0]['name'] }}{{ people[-1].name }}",
    "{% set f = s.upper %}{{ f() }}", "{{ [s, n] | map('string') | map('length') | list }}",
    "{% macro a(x) %}{{ x }}{% endmacro %}{% macro b(x) %}{{ a(x) }}{{ a(x + 1) }}{% endmacro %}{{ b(1) }}",
    "{% for i in l %}{{ i }}{{ ', ' if not loop.last }}{% endfor %}", "{{ d.a is iterable and d.a is not string }}",
    "{{ joiner }}{{ cycler }}" if False else "{{ u }}", "{% set x = namespace(v=none) %}{{ x.v is none }}",
]
