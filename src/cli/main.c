/* The program's entry: finds the command and hands over. */
#include <stdio.h>

int main(int count, char **arguments)
{
    fprintf(stderr, "adze: no command\n");
    return 2;
}
